# mesh_bpf_object(NAME SOURCE file.bpf.c)
#
# Compiles one BPF program file with clang-19 (whatever compiles the rest) and generates its libbpf skeleton:
#   target   mesh_bpf_NAME (INTERFACE; links libbpf)
#   include  #include "bpf/NAME.skel.h"  ->  struct NAME_bpf, NAME_bpf__open() …
#   object   ${CMAKE_BINARY_DIR}/generated/bpf/NAME.bpf.o  (for bpftool and the tests)
# The sources use the linux uapi headers, no vmlinux.h; the include root is the repository.
find_program(MESH_BPF_CLANG clang-19 REQUIRED)
find_program(MESH_BPFTOOL bpftool PATHS /usr/sbin /sbin REQUIRED)

# mcpu=v3 (ALU32, all jump forms): any kernel from 5.1 on; ours start at 6.1.
set(MESH_BPF_FLAGS -target bpf -mcpu=v3 -std=gnu17 -O2 -g -Wall -Wextra -Wshadow -Werror -fno-stack-protector
                   -I${CMAKE_SOURCE_DIR} -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE})

function(mesh_bpf_object name)
  cmake_parse_arguments(arg "" "SOURCE" "" ${ARGN})
  cmake_path(ABSOLUTE_PATH arg_SOURCE BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE source)
  set(directory ${CMAKE_BINARY_DIR}/generated/bpf)
  file(MAKE_DIRECTORY ${directory})
  set(object ${directory}/${name}.bpf.o)
  set(skeleton ${directory}/${name}.skel.h)

  add_custom_command(
    OUTPUT ${object}
    COMMAND ${MESH_CCACHE} ${MESH_BPF_CLANG} ${MESH_BPF_FLAGS} -MD -MF ${object}.d -MT ${object} -c ${source} -o
            ${object}.full
    # `gen object` drops the DWARF sections and keeps BTF: a tenth of the size.
    COMMAND ${MESH_BPFTOOL} gen object ${object} ${object}.full
    DEPENDS ${source}
    DEPFILE ${object}.d
    COMMENT "BPF object ${name}.bpf.o"
    VERBATIM)
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND ${MESH_BPFTOOL} gen skeleton ${object} name ${name}_bpf > ${skeleton}
    DEPENDS ${object}
    COMMENT "BPF skeleton ${name}.skel.h")
  add_custom_target(mesh_bpf_${name}_skeleton DEPENDS ${skeleton})

  add_library(mesh_bpf_${name} INTERFACE)
  add_dependencies(mesh_bpf_${name} mesh_bpf_${name}_skeleton)
  # SYSTEM: the generated code is not held to our warnings.
  target_include_directories(mesh_bpf_${name} SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/generated)
  target_link_libraries(mesh_bpf_${name} INTERFACE PkgConfig::libbpf)
endfunction()
