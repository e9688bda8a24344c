# Precompiled headers. Three quarters of a small translation unit's time are the standard library's headers, fmt, JSON
# and base/; with gtest, Asio or Beast it is more. Four kinds are compiled once and shared by every target:
#
#   mesh_pch              what base/ offers and the standard headers nearly everyone includes
#   mesh_pch_test         the same and gtest, gmock
#   mesh_pch_asio         the same as mesh_pch and Asio, Beast
#   mesh_pch_asio_test    all of them
#
# Files still include what they use: they must compile without any of this (-DMESH_PRECOMPILE=OFF).
# mesh_precompile(folder…) gives each target of these folders the kind that fits what it links.
option(MESH_PRECOMPILE "share precompiled headers between targets" ON)

set(mesh_pch_headers
    <algorithm> <array> <atomic> <cerrno> <chrono> <compare> <cstdint> <cstring> <deque> <expected> <filesystem>
    <functional> <map> <memory> <mutex> <optional> <set> <span> <sstream> <string> <string_view> <thread> <tuple>
    <unordered_map> <utility> <variant> <vector> <fmt/format.h> <spdlog/spdlog.h> <boost/json.hpp>
    "${CMAKE_SOURCE_DIR}/base/address.h" "${CMAKE_SOURCE_DIR}/base/clock.h" "${CMAKE_SOURCE_DIR}/base/fd.h"
    "${CMAKE_SOURCE_DIR}/base/file.h" "${CMAKE_SOURCE_DIR}/base/json.h" "${CMAKE_SOURCE_DIR}/base/log.h"
    "${CMAKE_SOURCE_DIR}/base/process.h" "${CMAKE_SOURCE_DIR}/base/result.h" "${CMAKE_SOURCE_DIR}/base/text.h")
set(mesh_pch_asio_headers <boost/asio.hpp> <boost/asio/ssl.hpp> <boost/beast.hpp> <boost/beast/ssl.hpp>)
set(mesh_pch_test_headers <gmock/gmock.h> <gtest/gtest.h>)

# Without a time stamp in it the precompiled header is the same each time, and ccache can serve its users.
# CMake gives executables -fPIE and libraries -fPIC; a precompiled header and its users must agree.
set(mesh_pch_options -fPIC)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  list(APPEND mesh_pch_options "SHELL:-Xclang -fno-pch-timestamp")
endif()

function(mesh_add_pch name)
  cmake_parse_arguments(arg "" "" "HEADERS;LIBS" ${ARGN})
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/${name}.cpp CONTENT "" @ONLY)
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/generated/${name}.cpp)
  target_link_libraries(${name} PRIVATE Boost::json spdlog::spdlog fmt::fmt ${arg_LIBS})
  target_compile_options(${name} PRIVATE ${mesh_pch_options})
  target_precompile_headers(${name} PRIVATE ${mesh_pch_headers} ${arg_HEADERS})
endfunction()
mesh_add_pch(mesh_pch)
mesh_add_pch(mesh_pch_test HEADERS ${mesh_pch_test_headers} LIBS GTest::gmock)
mesh_add_pch(mesh_pch_asio HEADERS ${mesh_pch_asio_headers} LIBS mesh_asio)
mesh_add_pch(mesh_pch_asio_test HEADERS ${mesh_pch_asio_headers} ${mesh_pch_test_headers} LIBS mesh_asio GTest::gmock)

# Whether a target sees a library's definitions: its own, or those that what it links passes on.
function(mesh_links_to result target library property)
  get_target_property(libraries ${target} ${property})
  set(${result} OFF PARENT_SCOPE)
  foreach(linked IN LISTS libraries)
    set(found OFF)
    if(linked STREQUAL library)
      set(found ON)
    elseif(linked MATCHES "^mesh_" AND TARGET ${linked})
      mesh_links_to(found ${linked} ${library} INTERFACE_LINK_LIBRARIES)
    endif()
    if(found)
      set(${result} ON PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

function(mesh_precompile)
  if(NOT MESH_PRECOMPILE)
    return()
  endif()
  foreach(folder IN LISTS ARGN)
    get_property(targets DIRECTORY ${CMAKE_SOURCE_DIR}/${folder} PROPERTY BUILDSYSTEM_TARGETS)
    foreach(target IN LISTS targets)
      get_target_property(type ${target} TYPE)
      get_target_property(sources ${target} SOURCES)
      if(NOT type MATCHES "STATIC_LIBRARY|EXECUTABLE" OR NOT "${sources}" MATCHES "\\.cpp" OR "${sources}" MATCHES "\\.c(;|$)")
        continue()
      endif()
      mesh_links_to(with_json ${target} Boost::json LINK_LIBRARIES)
      if(NOT with_json)
        continue()
      endif()
      mesh_links_to(with_asio ${target} mesh_asio LINK_LIBRARIES)
      mesh_links_to(with_gtest ${target} GTest::gtest LINK_LIBRARIES)
      set(kind mesh_pch)
      if(with_asio)
        string(APPEND kind _asio)
      endif()
      if(with_gtest)
        string(APPEND kind _test)
      endif()
      target_compile_options(${target} PRIVATE ${mesh_pch_options})
      target_precompile_headers(${target} REUSE_FROM ${kind})
    endforeach()
  endforeach()
endfunction()
