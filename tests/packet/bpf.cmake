add_library(mesh_packet_programs STATIC packet/bpf/kernel.cpp packet/bpf/world.cpp)
target_link_libraries(mesh_packet_programs PUBLIC mesh_bpf mesh_base)
mesh_add_test(bpf_wire_test SOURCES packet/bpf/wire_test.cpp packet/bpf/wire.cpp LIBS mesh_packet_programs
              LABEL packet TIMEOUT 180)
