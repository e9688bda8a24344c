mesh_add_test(base_test
  SOURCES
    unit/base_address_test.cpp
    unit/base_bytes_test.cpp
    unit/base_clock_test.cpp
    unit/base_file_test.cpp
    unit/base_json_test.cpp
    unit/base_process_test.cpp
    unit/base_result_test.cpp
    unit/base_text_test.cpp
  LIBS mesh_base)
