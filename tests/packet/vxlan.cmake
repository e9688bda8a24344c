mesh_add_test(vxlan_kernel_test SOURCES packet/vxlan_kernel_test.cpp LIBS mesh_vxlan LABEL packet TIMEOUT 180)
