mesh_add_test(dataplane_abi_test SOURCES unit/dataplane_abi_test.cpp LIBS mesh_dataplane mesh_bpf)
mesh_add_test(dataplane_takeover_test SOURCES unit/dataplane_takeover_test.cpp LIBS mesh_dataplane)
mesh_add_test(dataplane_ring_test SOURCES unit/dataplane_ring_test.cpp LIBS mesh_dataplane)
mesh_add_test(dataplane_blocks_test SOURCES unit/dataplane_blocks_test.cpp LIBS mesh_dataplane)
mesh_add_test(dataplane_plan_test SOURCES unit/dataplane_plan_test.cpp LIBS mesh_dataplane)
mesh_add_test(dataplane_uplink_mode_test SOURCES unit/dataplane_uplink_mode_test.cpp LIBS mesh_dataplane)
mesh_add_test(dataplane_endpoint_table_test SOURCES unit/dataplane_endpoint_table_test.cpp LIBS mesh_dataplane)
mesh_add_test(dataplane_sizes_test SOURCES unit/dataplane_sizes_test.cpp LIBS mesh_dataplane)
mesh_add_test(dataplane_ledger_test SOURCES unit/dataplane_ledger_test.cpp LIBS mesh_dataplane)
mesh_add_test(dataplane_trace_test SOURCES unit/dataplane_trace_test.cpp LIBS mesh_dataplane)
mesh_add_test(dataplane_flow_scan_test SOURCES unit/dataplane_flow_scan_test.cpp LIBS mesh_dataplane)

# C, because that is what the programs are; conversions between small integers are the wire's.
add_library(mesh_flowsim_programs STATIC flowsim/programs.c)
target_include_directories(mesh_flowsim_programs PRIVATE flowsim)
set_source_files_properties(flowsim/programs.c PROPERTIES COMPILE_OPTIONS
                            "-Wno-conversion;-Wno-int-to-pointer-cast;-Wno-missing-field-initializers")
mesh_add_test(dataplane_flowsim_test
  SOURCES
    flowsim/affinities.cpp
    flowsim/chaos.cpp
    flowsim/clients.cpp
    flowsim/containers.cpp
    flowsim/flowsim_test.cpp
    flowsim/host.cpp
    flowsim/invariants.cpp
    flowsim/leader.cpp
    flowsim/network.cpp
    flowsim/simulation.cpp
  LIBS mesh_flowsim_programs mesh_dataplane TIMEOUT 180)
