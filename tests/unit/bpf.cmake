mesh_add_test(bpf_checksum_test SOURCES unit/bpf_checksum_test.cpp LIBS mesh_base)
