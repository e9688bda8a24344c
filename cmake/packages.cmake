# Everything used from the system, as imported targets; all are Debian 12 packages (scripts/setup installs them).
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)   # Boost::headers Boost::json Boost::url
find_package(OpenSSL 3 REQUIRED)                        # OpenSSL::SSL OpenSSL::Crypto
find_package(fmt REQUIRED)                              # fmt::fmt
find_package(spdlog REQUIRED)                           # spdlog::spdlog
find_package(CLI11 REQUIRED)                            # CLI11::CLI11
find_package(SQLite3 REQUIRED)                          # SQLite::SQLite3
find_package(GTest REQUIRED)                            # GTest::gtest GTest::gmock

find_package(PkgConfig REQUIRED)
pkg_check_modules(libbpf REQUIRED IMPORTED_TARGET libbpf)              # PkgConfig::libbpf
pkg_check_modules(libmnl REQUIRED IMPORTED_TARGET libmnl)              # PkgConfig::libmnl
pkg_check_modules(libnl REQUIRED IMPORTED_TARGET libnl-3.0)            # PkgConfig::libnl
pkg_check_modules(libnl_route REQUIRED IMPORTED_TARGET libnl-route-3.0)  # PkgConfig::libnl_route
pkg_check_modules(libnftnl REQUIRED IMPORTED_TARGET libnftnl)          # PkgConfig::libnftnl
pkg_check_modules(libarchive REQUIRED IMPORTED_TARGET libarchive)      # PkgConfig::libarchive
pkg_check_modules(yaml_cpp REQUIRED IMPORTED_TARGET yaml-cpp)          # PkgConfig::yaml_cpp
