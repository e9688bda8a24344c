mesh_add_test(vxlan_plan_test SOURCES unit/vxlan_plan_test.cpp LIBS mesh_vxlan)
mesh_add_test(vxlan_values_test SOURCES unit/vxlan_values_test.cpp LIBS mesh_vxlan)
