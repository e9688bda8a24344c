# Warnings, sanitizers, linker and compiler cache for every target.
# A designated initializer names what it sets; what it leaves out has its default on purpose.
add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Werror -Wno-missing-field-initializers -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 sees uninitialised or overflowing reads through std::expected, std::optional and std::variant that do not
  # exist; clang and the sanitizers cover the real ones.
  add_compile_options(-Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds
                      -Wno-restrict -Wno-dangling-pointer -Wno-mismatched-new-delete)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fcoroutines>)
endif()

if(MESH_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all)
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
  add_link_options(-fsanitize=address,undefined)
endif()

find_program(MESH_MOLD mold)
if(MESH_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

find_program(MESH_CCACHE ccache)
if(MESH_CCACHE)
  # pch_defines,time_macros: needed for precompiled headers to hit (ccache manual, "Precompiled headers").
  set(MESH_CCACHE_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${MESH_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${MESH_CCACHE_LAUNCHER})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MESH_CCACHE_LAUNCHER})
endif()

include_directories(${CMAKE_SOURCE_DIR})
