# Rules about the source text itself; once is enough.
if(NOT MESH_SANITIZE)
  mesh_add_command_test(layers_test COMMAND python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/unit/layers_test.py)
  mesh_add_command_test(tidy_test COMMAND python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/unit/tidy_test.py)
  mesh_add_command_test(setup_test COMMAND python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/unit/setup_test.py)
  mesh_add_command_test(docs_test COMMAND python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/unit/docs_test.py)
  mesh_add_command_test(bench_rows_test COMMAND python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/unit/bench_rows_test.py)
endif()
