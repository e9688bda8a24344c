mesh_add_test(examples_text_test SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/examples_text_test.cpp LIBS mesh_examples)
# Real processes on the loopback of a network namespace of their own.
mesh_add_command_test(examples_programs_test LABEL e2e TIMEOUT 60
  COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/unit/examples_programs_test.py ${CMAKE_BINARY_DIR})
mesh_add_command_test(examples_images_test LABEL e2e TIMEOUT 120
  COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/unit/examples_images_test.py ${CMAKE_BINARY_DIR})
add_dependencies(mesh_e2e_tests examples)
