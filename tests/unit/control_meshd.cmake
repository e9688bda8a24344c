mesh_add_test(control_meshd_test
  SOURCES unit/meshd_options_test.cpp unit/meshd_process_test.cpp unit/meshd_manager_role_test.cpp
          unit/meshd_trace_inquiry_test.cpp
  LIBS mesh_control_meshd mesh_asio
  TIMEOUT 120)
