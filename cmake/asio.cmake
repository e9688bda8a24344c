# Boost.Asio and Boost.Beast, compiled once instead of in every translation unit that includes them (6-9 s each).
#
# mesh_asio   link this to use Asio, Asio-SSL or Beast. Everything in the program sees the same definitions, or the
#             one-definition rule breaks; so they are PUBLIC here and nowhere else.
# mesh_use_asio(target)   links mesh_asio and reuses its precompiled header (<boost/asio.hpp>, <boost/beast.hpp> …).
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated/asio)
foreach(part IN ITEMS asio/impl/src asio/ssl/impl/src beast/src)
  string(REPLACE "/" "_" unit ${part})
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/asio/${unit}.cpp CONTENT "#include <boost/${part}.hpp>\n" @ONLY)
  list(APPEND mesh_asio_units ${CMAKE_BINARY_DIR}/generated/asio/${unit}.cpp)
endforeach()

add_library(mesh_asio STATIC EXCLUDE_FROM_ALL ${mesh_asio_units})
target_compile_definitions(mesh_asio PUBLIC BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
                                            BOOST_ASIO_NO_DEPRECATED BOOST_BEAST_USE_STD_STRING_VIEW)
target_compile_options(mesh_asio PRIVATE -w)
target_link_libraries(mesh_asio PUBLIC Boost::headers OpenSSL::SSL OpenSSL::Crypto Threads::Threads)

file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/asio/precompiled.cpp CONTENT "" @ONLY)
add_library(mesh_asio_pch OBJECT EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/generated/asio/precompiled.cpp)
target_link_libraries(mesh_asio_pch PUBLIC mesh_asio)
target_precompile_headers(mesh_asio_pch PRIVATE <boost/asio.hpp> <boost/asio/ssl.hpp> <boost/beast.hpp>
                          <boost/beast/ssl.hpp> <boost/json/value.hpp> <spdlog/spdlog.h>)
target_link_libraries(mesh_asio_pch PUBLIC Boost::json spdlog::spdlog fmt::fmt)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Without a time stamp in it the precompiled header is the same each time, and ccache can serve its users.
  target_compile_options(mesh_asio_pch PUBLIC "SHELL:-Xclang -fno-pch-timestamp")
endif()

function(mesh_use_asio target)
  target_link_libraries(${target} PUBLIC mesh_asio Boost::json spdlog::spdlog fmt::fmt)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_compile_options(${target} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
  endif()
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    # CMake gives executables -fPIE; the precompiled header was made with -fPIC and the two must agree.
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
  target_precompile_headers(${target} REUSE_FROM mesh_asio_pch)
endfunction()
