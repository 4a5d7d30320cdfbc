// Work that several processes share: who holds the claim on a piece does it, and the others leave it alone meanwhile.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace diffapple {

/// A locked file in the folder where the work's result goes (".diffapple-claim-" ... ".tmp"), removed at the end. The
/// system drops the lock of a process that ends, however it ends and on whichever host that shares the folder: a file
/// left over claims nothing, and remove_stale_temporary_files tidies it. On a file system without locks everyone gets
/// every claim, and work is repeated.
class Claim {
public:
    /// Nothing where another holds it. Throws Error where the folder does not take files.
    static std::optional<Claim> take(const std::filesystem::path& folder, const std::string& name);

    ~Claim();
    Claim(Claim&&) noexcept;
    Claim& operator=(Claim&&) noexcept;

private:
    struct Locked;
    explicit Claim(std::unique_ptr<Locked> locked);
    std::unique_ptr<Locked> locked_;  ///< null where there are no locks
};

}  // namespace diffapple
