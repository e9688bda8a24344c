mesh_add_test(bench_pktgen_test SOURCES unit/bench_pktgen_test.cpp LIBS mesh_pktgen)
