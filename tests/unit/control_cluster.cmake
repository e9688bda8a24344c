mesh_add_test(control_cluster_test
  SOURCES unit/cluster_token_test.cpp unit/cluster_certificate_test.cpp unit/cluster_tls_test.cpp
          unit/cluster_session_test.cpp unit/cluster_rate_limit_test.cpp unit/cluster_client.cpp
  LIBS mesh_control_cluster mesh_asio
  TIMEOUT 120)
