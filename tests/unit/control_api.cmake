mesh_add_test(control_api_test
  SOURCES unit/api_direct_answers_test.cpp unit/api_filters_test.cpp unit/api_metrics_test.cpp unit/api_routes_test.cpp
          unit/api_server_test.cpp unit/api_trace_test.cpp
  LIBS mesh_control_api mesh_asio)
