mesh_add_test(dns_test
  SOURCES unit/dns_message_test.cpp unit/dns_answer_test.cpp unit/dns_server_test.cpp
  LIBS mesh_dns)
