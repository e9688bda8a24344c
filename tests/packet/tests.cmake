# Needs bin/mesh-packet; sanitizers do not change what runs in the kernel.
if(NOT MESH_SANITIZE)
  mesh_add_command_test(program_sizes_test LABEL packet TIMEOUT 180 COMMAND
    /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/packet/program_sizes_test.py)
endif()
