add_library(mesh_packet_programs STATIC packet/bpf/kernel.cpp packet/bpf/world.cpp)
target_link_libraries(mesh_packet_programs PUBLIC mesh_bpf mesh_base)
mesh_add_test(bpf_wire_test SOURCES packet/bpf/wire_test.cpp packet/bpf/wire.cpp LIBS mesh_packet_programs
              LABEL packet TIMEOUT 180)

# The same programs natively. C, because that is what they are; conversions between small integers are the wire's.
add_library(mesh_packet_native STATIC packet/bpf/native/programs.c packet/bpf/native/native.cpp packet/bpf/frame.cpp
            packet/bpf/pair.cpp packet/bpf/seen.cpp packet/bpf/steps.cpp packet/bpf/three_hosts.cpp)
target_include_directories(mesh_packet_native PRIVATE packet/bpf/native)
target_link_libraries(mesh_packet_native PUBLIC mesh_packet_programs GTest::gtest)
set_source_files_properties(packet/bpf/native/programs.c PROPERTIES COMPILE_OPTIONS
                            "-Wno-conversion;-Wno-int-to-pointer-cast;-Wno-missing-field-initializers")
# One test program per file; each loads the programs once for all its cases.
foreach(name IN ITEMS uplink_vectors endpoint_vectors flow_vectors record_vectors draining_vectors options_vectors error_vectors
        counter_vectors carry_vectors lead_vectors mss_vectors sctp_vectors garbage)
  mesh_add_test(bpf_${name}_test SOURCES packet/bpf/${name}_test.cpp LIBS mesh_packet_native LABEL packet TIMEOUT 120)
endforeach()
