# End-to-end tests in labs of their own. A file test_NAME.py is one ctest entry; where traffic is concerned, one per
# uplink mode: "auto" on veth would hide one of them. They run one at a time: each wants the machine for itself.
function(mesh_add_lab_test name)
  cmake_parse_arguments(arg "BOTH_MODES" "TIMEOUT" "" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set(script ${CMAKE_SOURCE_DIR}/tests/e2e/test_${name}.py)
  if(arg_BOTH_MODES)
    foreach(mode IN ITEMS xdp tc)
      mesh_add_command_test(e2e.${name}.${mode} LABEL e2e TIMEOUT ${arg_TIMEOUT} SERIAL COMMAND
        ${CMAKE_COMMAND} -E env MESH_E2E_UPLINK_MODE=${mode} /usr/bin/python3 -B ${script})
    endforeach()
  else()
    mesh_add_command_test(e2e.${name} LABEL e2e TIMEOUT ${arg_TIMEOUT} SERIAL COMMAND /usr/bin/python3 -B ${script})
  endif()
endfunction()

mesh_add_lab_test(lab BOTH_MODES TIMEOUT 120)
add_subdirectory(tools)
mesh_add_lab_test(tools TIMEOUT 120)
