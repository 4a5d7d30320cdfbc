/* Lets a system call or an allocation of a program fail (LD_PRELOAD, Linux with glibc). One of them is chosen by its
 * place among those that the program makes, counted from 1:
 *
 *   DIFFAPPLE_FAULT=KIND:PLACE:ERROR:WHEN    KIND: calls, allocations, or the name of one call ("flock")
 *                                            ERROR: EIO, ENOSPC, EMFILE, EINTR, ENOLCK, ENOENT; short (transfers of half
 *                                            the bytes)
 *                                            WHEN: once; always (from that place on); only (this and all later ones of
 *                                            the same call)
 *   DIFFAPPLE_FAULT_LOG=FILE                 appends "calls N allocations N fired NAME" when the process ends
 *   DIFFAPPLE_FAULT_PLACES=FILE              writes "NAME NUMBER" of the first call or allocation ("malloc") from each place
 *                                            (its call stack)
 *   DIFFAPPLE_FAULT_DISAGREE=1               lstat tells another inode than fstat
 *
 * Counted is from the beginning of main on. What glibc calls inside itself (fopen's open) passes by; fopen, fread and their kin are wrapped themselves. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls, allocations, named;
static long place;
static int error, only_short, armed, disagree;
enum { once, always, only } when;
enum { of_calls, of_allocations, of_name } kind;
static char wanted[32];
static const char* log_file;
static _Atomic(const char*) fired;

static void read_fault(void) {
    static const struct {
        const char* name;
        int value;
    } errors[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EMFILE", EMFILE}, {"EINTR", EINTR}, {"ENOLCK", ENOLCK}, {"ENOENT", ENOENT}};
    const char* fault = getenv("DIFFAPPLE_FAULT");
    log_file = getenv("DIFFAPPLE_FAULT_LOG");
    disagree = getenv("DIFFAPPLE_FAULT_DISAGREE") != NULL;
    char error_name[16] = "", when_name[16] = "";
    if (!fault || sscanf(fault, "%31[^:]:%ld:%15[^:]:%15s", wanted, &place, error_name, when_name) != 4) return;
    kind = !strcmp(wanted, "calls") ? of_calls : !strcmp(wanted, "allocations") ? of_allocations : of_name;
    when = !strcmp(when_name, "always") ? always : !strcmp(when_name, "only") ? only : once;
    only_short = !strcmp(error_name, "short");
    for (size_t i = 0; i < sizeof errors / sizeof *errors; ++i)
        if (!strcmp(errors[i].name, error_name)) error = errors[i].value;
    armed = 1;
}

/* The places from which something is called, as hashes of the call stack's nearest frames; the number of each call that
 * comes from a new place is written out. */
enum { depth = 14, slots = 1 << 18 };
static _Atomic unsigned long stacks[slots];
static FILE* places;
static int began;
static __thread int looking;

static void note_place(const char* name, long number) {
    if (!places) return;
    looking = 1;
    void* frames[depth];
    const int count = backtrace(frames, depth);
    unsigned long hash = *name;
    for (int i = 1; i < count; ++i) {
        hash = (hash ^ (unsigned long)frames[i]) * 0x9E3779B97F4A7C15UL;
        hash ^= hash >> 29;
    }
    unsigned long at = hash % slots, empty = 0;
    while (stacks[at] && stacks[at] != hash) at = (at + 1) % slots;
    if (atomic_compare_exchange_strong(&stacks[at], &empty, hash)) fprintf(places, "%s %ld\n", name, number);
    looking = 0;
}

__attribute__((constructor)) static void begin(void) {
    read_fault();
    const char* const file = getenv("DIFFAPPLE_FAULT_PLACES");
    if (!file) return;
    void* frame[1];
    backtrace(frame, 1);  /* loads what it needs */
    looking = 1;
    places = fopen(file, "w");
    looking = 0;
}

__attribute__((destructor)) static void end(void) {
    looking = 1;
    if (places) fclose(places);
    places = NULL;
    if (!log_file) return;
    const int saved = armed;
    armed = 0;
    FILE* const file = fopen(log_file, "a");
    const char* const name = fired;
    if (file) {
        fprintf(file, "calls %ld allocations %ld fired %s\n", (long)calls, (long)allocations, name ? name : "-");
        fclose(file);
    }
    armed = saved;
}

/* Libraries initialise themselves before main, where nothing of the program can answer: that is not counted. */
static int (*main_of_program)(int, char**, char**);
static int counted_main(int count, char** arguments, char** variables) {
    began = 1;
    return main_of_program(count, arguments, variables);
}

int __libc_start_main(int (*main)(int, char**, char**), int count, char** arguments, void (*init)(void), void (*end)(void),
                      void (*end_of_loader)(void), void* stack) {
    const __typeof__(&__libc_start_main) real = (__typeof__(&__libc_start_main))dlsym(RTLD_NEXT, "__libc_start_main");
    main_of_program = main;
    return real(counted_main, count, arguments, init, end, end_of_loader, stack);
}

static int is_hit(long number) {
    return armed && (number == place || (when == always && number > place));
}

/* Whether this call fails; `transfer`: it moves bytes, and may move fewer. */
static int call_fails(const char* name, int transfer) {
    if (!began || looking) return 0;
    const long number = ++calls;
    note_place(name, number);
    int hit = 0;
    if (kind == of_calls) {
        const char* const first = fired;
        hit = is_hit(number) || (armed && when == only && number > place && first && !strcmp(first, name));
    } else if (kind == of_name && !strcmp(name, wanted)) {
        hit = is_hit(++named);
    }
    if (!hit || (only_short && !transfer)) return 0;
    if (!fired) fired = name;
    if (!only_short) errno = error;
    return 1;
}

static int allocation_fails(void) {
    if (!began || looking) return 0;
    const long number = ++allocations;
    note_place("malloc", number);
    if (kind != of_allocations || !is_hit(number)) return 0;
    fired = "malloc";
    errno = ENOMEM;
    return 1;
}

#define REAL(name) \
    static __typeof__(name)* real; \
    if (!real) real = (__typeof__(name)*)dlsym(RTLD_NEXT, #name)

/* A call that only fails or not. */
#define WRAP(type, failure, name, parameters, arguments) \
    type name parameters {                               \
        REAL(name);                                      \
        if (call_fails(#name, 0)) return failure;        \
        return real arguments;                           \
    }

/* One that moves bytes: it fails, or moves half of them. */
#define WRAP_TRANSFER(name, parameters, arguments, bytes)    \
    ssize_t name parameters {                                \
        REAL(name);                                          \
        if (call_fails(#name, 1)) {                          \
            if (!only_short) return -1;                      \
            if (bytes > 1) bytes /= 2;                       \
        }                                                    \
        return real arguments;                               \
    }

#define WRAP_OPEN(name, parameters, arguments)       \
    int name parameters {                            \
        REAL(name);                                  \
        mode_t mode = 0;                             \
        if (flags & (O_CREAT | O_TMPFILE)) {         \
            va_list rest;                            \
            va_start(rest, flags);                   \
            mode = va_arg(rest, mode_t);             \
            va_end(rest);                            \
        }                                            \
        if (call_fails(#name, 0)) return -1;         \
        return real arguments;                       \
    }

WRAP_OPEN(open, (const char* path, int flags, ...), (path, flags, mode))
WRAP_OPEN(open64, (const char* path, int flags, ...), (path, flags, mode))
WRAP_OPEN(openat, (int folder, const char* path, int flags, ...), (folder, path, flags, mode))
WRAP_OPEN(openat64, (int folder, const char* path, int flags, ...), (folder, path, flags, mode))
WRAP_TRANSFER(read, (int file, void* buffer, size_t bytes), (file, buffer, bytes), bytes)
WRAP_TRANSFER(pread, (int file, void* buffer, size_t bytes, off_t at), (file, buffer, bytes, at), bytes)
WRAP_TRANSFER(pread64, (int file, void* buffer, size_t bytes, off64_t at), (file, buffer, bytes, at), bytes)
WRAP_TRANSFER(write, (int file, const void* buffer, size_t bytes), (file, buffer, bytes), bytes)
WRAP(ssize_t, -1, writev, (int file, const struct iovec* parts, int count), (file, parts, count))
WRAP(int, -1, stat, (const char* path, struct stat* found), (path, found))
WRAP(int, -1, stat64, (const char* path, struct stat64* found), (path, found))
WRAP(int, -1, fstat, (int file, struct stat* found), (file, found))
WRAP(int, -1, fstat64, (int file, struct stat64* found), (file, found))
WRAP(int, -1, lstat64, (const char* path, struct stat64* found), (path, found))
WRAP(void*, MAP_FAILED, mmap, (void* at, size_t bytes, int rights, int flags, int file, off_t from),
     (at, bytes, rights, flags, file, from))
WRAP(void*, MAP_FAILED, mmap64, (void* at, size_t bytes, int rights, int flags, int file, off64_t from),
     (at, bytes, rights, flags, file, from))
WRAP(int, -1, madvise, (void* at, size_t bytes, int advice), (at, bytes, advice))
WRAP(int, -1, fsync, (int file), (file))
WRAP(int, -1, flock, (int file, int operation), (file, operation))
WRAP(int, -1, rename, (const char* from, const char* to), (from, to))
WRAP(int, -1, unlink, (const char* path), (path))
WRAP(int, -1, mkdir, (const char* path, mode_t mode), (path, mode))
WRAP(int, -1, access, (const char* path, int rights), (path, rights))
WRAP(char*, NULL, realpath, (const char* path, char* found), (path, found))
WRAP(ssize_t, -1, readlink, (const char* path, char* found, size_t bytes), (path, found, bytes))
WRAP(char*, NULL, getcwd, (char* found, size_t bytes), (found, bytes))
WRAP(DIR*, NULL, opendir, (const char* path), (path))
WRAP(DIR*, NULL, fdopendir, (int file), (file))
WRAP(struct dirent*, NULL, readdir, (DIR * folder), (folder))
WRAP(struct dirent64*, NULL, readdir64, (DIR * folder), (folder))
WRAP(FILE*, NULL, fopen, (const char* path, const char* mode), (path, mode))
WRAP(FILE*, NULL, fopen64, (const char* path, const char* mode), (path, mode))
WRAP(size_t, 0, fread, (void* to, size_t size, size_t count, FILE* file), (to, size, count, file))
WRAP(size_t, 0, fwrite, (const void* from, size_t size, size_t count, FILE* file), (from, size, count, file))
WRAP(int, EOF, fflush, (FILE * file), (file))

int lstat(const char* path, struct stat* found) {
    REAL(lstat);
    if (call_fails("lstat", 0)) return -1;
    const int result = real(path, found);
    if (result == 0 && disagree) ++found->st_ino;
    return result;
}

/* A descriptor is closed also when its close fails. */
int close(int file) {
    REAL(close);
    const int fails = call_fails("close", 0);
    const int saved = errno, result = real(file);
    if (fails) errno = saved;
    return fails ? -1 : result;
}

/* dlsym itself allocates when it is first asked: until then, from a small store. */
static char store[65536];
static size_t stored;

static void* from_store(size_t bytes) {
    const size_t at = (stored + 15) / 16 * 16;
    if (at + bytes > sizeof store) return NULL;
    stored = at + bytes;
    return store + at;
}

static int is_stored(const void* memory) {
    return (const char*)memory >= store && (const char*)memory < store + sizeof store;
}

#define REAL_ALLOCATION(name)                                  \
    static __typeof__(name)* real;                             \
    static __thread int asking;                                \
    if (!real && !asking) {                                    \
        asking = 1;                                            \
        real = (__typeof__(name)*)dlsym(RTLD_NEXT, #name);     \
        asking = 0;                                            \
    }

void* malloc(size_t bytes) {
    REAL_ALLOCATION(malloc)
    if (!real) return from_store(bytes);
    return allocation_fails() ? NULL : real(bytes);
}

void* calloc(size_t count, size_t bytes) {
    REAL_ALLOCATION(calloc)
    if (!real) return from_store(count * bytes);
    return allocation_fails() ? NULL : real(count, bytes);
}

void* realloc(void* memory, size_t bytes) {
    REAL_ALLOCATION(realloc)
    if (!real || is_stored(memory)) {
        void* const moved = from_store(bytes);
        if (moved && memory) memcpy(moved, memory, bytes);
        return moved;
    }
    return allocation_fails() ? NULL : real(memory, bytes);
}

void free(void* memory) {
    REAL_ALLOCATION(free)
    if (real && !is_stored(memory)) real(memory);
}

int posix_memalign(void** memory, size_t alignment, size_t bytes) {
    REAL_ALLOCATION(posix_memalign)
    if (!real || allocation_fails()) return ENOMEM;
    return real(memory, alignment, bytes);
}

void* aligned_alloc(size_t alignment, size_t bytes) {
    REAL_ALLOCATION(aligned_alloc)
    if (!real || allocation_fails()) return NULL;
    return real(alignment, bytes);
}

void* memalign(size_t alignment, size_t bytes) {
    static void* (*real)(size_t, size_t);
    if (!real) real = (void* (*)(size_t, size_t))dlsym(RTLD_NEXT, "memalign");
    return allocation_fails() ? NULL : real(alignment, bytes);
}
