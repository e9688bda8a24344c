add_library(mesh_dataplane_lab STATIC packet/dataplane_lab.cpp packet/dataplane_lab_sockets.cpp)
target_link_libraries(mesh_dataplane_lab PUBLIC mesh_dataplane mesh_vxlan GTest::gtest Threads::Threads)
mesh_add_test(dataplane_path_test SOURCES packet/dataplane_path_test.cpp LIBS mesh_dataplane_lab LABEL packet
              TIMEOUT 600)
mesh_add_test(dataplane_kernel_test SOURCES packet/dataplane_kernel_test.cpp LIBS mesh_dataplane_lab LABEL packet
              TIMEOUT 180)
mesh_add_test(dataplane_swap_test SOURCES packet/dataplane_swap_test.cpp packet/dataplane_steady.cpp
              LIBS mesh_dataplane_lab mesh_bpf LABEL packet TIMEOUT 300)
