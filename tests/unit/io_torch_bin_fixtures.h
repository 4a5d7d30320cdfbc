// Files written by torch.save (torch 2.13) by the Python lines above each, compressed by zlib, in base64.
#pragma once

namespace diffapple {

/// base = torch.arange(12.); sd = OrderedDict(plain=torch.tensor([[1., 2.], [3., 4.]]),
/// parameter=Parameter(torch.tensor([0.5, -0.5])), ...); sd._metadata = OrderedDict(version=1); torch.save(sd,
/// "x.bin"). The other tensors: shared.all = base.view(3, 4), shared.column = its [:, 1], shared.transposed = its .t(),
/// half = [1.5, -2] in float16, bfloat = the same in bfloat16, long = [[2**40, -7]], bool = [True, False],
/// scalar = 3.25, empty = zeros(0, 4).
inline constexpr const char* ordered_dict_bin =
    "eNqlVstvG0UYHz9iO0ubVwOhgYZACnWgdWyvs3baPJeyFLZQZ9vCEqBmbW9ii42dbz0pFKlSJJQUhDggVYgLqLcee+QGUfkLkKjEASGknjggDh"
    "yAE8zsOM7O5NUmo4w22czv8X3zzTeb10NhhGIxtGV0oR5Ud8u2a5dHyha2EkvvO5ragea4sRIsleqOY5dwtV5rSBcY4Gy1hCVAwwYE4mYbIVty"
    "rGoNgiVcd0uVRGEZV52GVHDt4nLVKRewXWvU3cLVtASheNyMEkCDrLQWbAgziKQ5dQtfZC8laDMDZE0SImaIPEtLyxDVwxhiszrSg3pwDdrJI7"
    "AG0qcVauIRDIcMOGy2UyeWay3a2HahYwc3rRUSdFaIn0q4wvRS0FWJ6kEM3Z7OKvTogVU4wjR6MTxqwGOfeH/03YDHDThqSjSSikUykrAcB/o5"
    "ujQ8QegOYXiS0oX08Boc08PU9gCjfArDoAFPm4c3WUiulxdr8MwGUaVJMTSrB/TQKhzXw6vwLIM/h+GEAXGzexOOXavWWKo37DIMixTPUxdhPb"
    "QGLxAuYuYkozmFIWHAiEnKBFUsZx6SDNncmHPkVWtfUl5gMqRZnuRmnjI0T6OMTsGQNSBnRsjC4jzdVRjjCFVvq1NKi/S0R5qBM4x0vEk6QUkn"
    "GekUhmkDZjyPTr22ACpHeZ68atG96NGNwllG9xKlC9Ca0VjNvMwoz2F4xYBXPcpive6Azrskr1qU5z1KBV5jlK83HV6gDvOMbhaDYcBFL+xGyX"
    "IsFy5x1ZCFywQdwPAGQQ8PM9SbGEwD3vKOkL24hK/BHAfKwdsEhDC8QyUR3bV3WQldYQQFDO8ZYC1fh6JX/QVS2BY9zVDy/l/2DttV222Q4wu2"
    "Hmg0iom8Ho3dnfj11k/kcNGZ37FH9KETrR6RmK+7ixYuNMk0dUhoFduOFBX79s9fPqbh0LmzWD/Kboo1+0PBcqoLtUW7hjVVfhA9cSgZamDqA/"
    "g9SCSCuxroRlMtA8Vr2PZ+19Qz+9HdGE4VY8emHlYn7h+l1RHZ1UMHmuS68khSU08fwABCK1OEdpr8kLkyTZ1c6r39WZd3A+zuJMM7SWlqEj28"
    "PqL631PdoSufH6NCsT10x3ndtKbm0P7jp4PPAUK3yFwn8zcy0QzJBJmDZCZnqM8Pr89PJun9s4fPXt6nrKldW3yS7VynnMq9ezdpqwnvwTnNc2"
    "Y0dfwg5Te3PsX0o7Nz9/ehP3pQfY+WnPt//2ODeln4evzOPupP2U/9BRBV/G7orrn3+e9AKq+Y1dTJA0VP4897Z+7nH4b+4POPHiT/uYPmf+do"
    "O9GRllarp3eKYrJE3f/4zcLlvfM3gNKbDdyz37DdKungH1n067FQLWtq4iGjSabGstmckpRHZVkZSydTmYyczKTldC6byqRzSiqdySmykqUu/5"
    "qY/TtOfMQ9lwFqtuXTf991bXEufgeLaP8F1schj4fRTjekSOK/hPo5ki/8JFtuPpHHf5F0czw9bWjrBSbC/d2/g4N/2YaEu0fE+js4jx2MCNiU"
    "iPV3VR77lYhNi1h/9+Sx01EBK4tYf+fjsTdFbEbE+jsVj+2NCdhREevvOTz2lohVRKy/W/DYnnYBm93Abt9PuHhFbE7U9Z/zTp5KQmK3EMH+4z"
    "fAYQ0fePvGkNcjkZMbbSR0ytek+OedEHv+I7EnwdEPXHS7GSn7wmyLMEynt56t/R8e8GCq";

/// torch.save({"state_dict": {"w": torch.tensor([7, 8], dtype=torch.int32), "note": "x"}, "global_step": 470000,
///             "epoch": 1.5, "big": 2**40, "list": [1, (2, 3), None, True]}, "x.ckpt", pickle_protocol=4)
inline constexpr const char* nested_ckpt =
    "eNqllE2L00AYxyfpS0LrbheFhR7Wc0Tte5sWd+lSpKIBt3YRRFhC2ow1mE1qMt1dBUGQisrcOl714skv4FfwuiKevHnyoh487EmdpC+bpLZqHS"
    "jDpM//eX7zzH+mIYXCAPA8mBoJcAoY0EZQTasKUlLdO3q9lgA3/eNh+Pn3keABEXDMRgqCsqq1EXHWzD7BJ5BptW+n5B7SdJvgk7IFWz1NV2UE"
    "Ddu05L0cGRBBwJxNA5UOJDjiKgiOXTbQ9ujjgGAmQ3Co3e0RiUXkmgQktk8kpk+e4njb1HXYRppp0ArxLUuFFlQvOhQDcqZJEGkSHDZMRJMzB6"
    "SH4x3dbCm6TLfXJVe+neUAjsCuSYteqh4Nt4NDLa1DnkXdBYPDumYjskMEiZFYKfSYXH0Ce6mGxPE774/EnzTG+TVmtnMVbIzbmbplWrsKkveg"
    "ZVPieq0S7Orfj6xD8Obrx0eMQzmXIAnKE4JRq2VF1zrGLjRQvVZYCKJUcACq+3c/s7QEOxdgBWyOAVr3EDSdU6rX1hffPB26hpAOHYb+xqekc1"
    "jRuQxLoOp1dTpTr134HwCO5uTdihz/8sf2a36ynkWwDNbHBBMDlBdGyMecyocvOtf/3P81kJ8YwN28DS2NOuC+4lwcWVPrtfS/gmSLYq6crVSK"
    "2Wy5WCgV8plcKVPIZEUxlyuJYkYsF4vlfM51Ce59eSVQDsGlZBzYCaf3EiWmyAPvUFDs9f+qT7jFgBm3LpjDa+GkL8ehJ8fUvQmm8bpwxZemyY"
    "Ip9wfVXgct+dQfWOD3bVDqtcCyT3ojBAKGC2q9B7Pm07471v7eMg0pGj03Cj4dOj8RcoH5LTOcD8LDmercvzaH7+vo6YpEhxrOjR/G/gLOrpBq";

/// torch.save({"w": Evil()}, "x.bin") where Evil.__reduce__ returns (os.system, ("echo hacked",))
inline constexpr const char* os_system_bin =
    "eNoL8GZmYWDg4GDAALwMogypZZk5+imJJYl6Bdk5bk6CDFHooIGptpAhghGovryQMbkgvzizgqu4srgkNZerkCmCGyiempyRr5CRmJydmlLI3F"
    "rIElTIWqwX4M3OsXWCVK05UAEIB+B0hggDO8QZemn5RbmJJfFlqUXFmfl5bk7MINcYgkza/v5OM8gJjHhNEmewgppUXJJflJieGp+Yk5mel5ua"
    "V+LmZIbpNaKAmQnIAfblhS+ZgFYw4XUAH4MTxAFJlSWp+UUpqUVuTnZk2gsDOZklJTmpIDe02j6WZAPawobXDTwMDhA3wIPRhiIXGHOB7L44Lz"
    "2UsP+lGUyhEQBKUvrFqUWZwBioSiwBuiM+M8XNyZB0pxgYWRpYmJhZmJmbm5sZWRoZGxqYGBgAhUwtjU3MjI0tTA2MTQzMDECuPPN9n7sG0B0a"
    "YFcyghwLdydyYuTFcDlKPkDXipz6RFC0tcO0oqVddBOQk484igkX4SZgpFl0Q5Djnw/FkCBGBrR0h64XOf54UPReg+nF4XTkMJVGtZWJAV9sB3"
    "izselAlcox68K1saHRjYwQ+gcThAbqYwfRlSwQPiTPs7JB9LCB1UPUAgBYi/+5";

/// torch.save({"w": torch.tensor([1.])}, "x.bin", _use_new_zipfile_serialization=False)
inline constexpr const char* legacy_bin =
    "eNptT7tOw0AQ9CsEDoJo6ShNEyEnglDRoDQWr9Bcg07mfEoOnXzZu3UQSJHcIAHfwAfwa3wCEgVr3LLFSjs7OzvTRO/M/HxMvw8ePq/3h0108R"
    "VTX0OQ8r0gCJbOopXWiJVyXtsKQiLwAW2MRjRKqKrURQXRK2cE4tNSCa+flYd4DUnKewT6hXUIvTziMU26QtjIE560GraaQz9P6rr7yUMCHyGU"
    "aJ1cDEWN2ngmnLqvtSkFqspbJ1YZgyhNeb/VJmYxVxB3J2xqbIG3Hcgg4bvEOR2PRkfjSZadZKPjCfT+bMhlTTbCS4T+TR7k4Qtstm3rTVJaoy"
    "RSWM+uXKmcKs+1RAbscAbbCDszGHjye0d+/5EPi2Gboqvm7Beb5WN6";

}  // namespace diffapple
