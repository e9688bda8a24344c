foreach(scenarios IN ITEMS manager_test manager_update_test manager_ports_test)
  mesh_add_test(${scenarios} SOURCES unit/${scenarios}.cpp unit/manager_lab.cpp LIBS mesh_control_manager)
endforeach()
mesh_add_test(manager_allocator_test SOURCES unit/manager_allocator_test.cpp LIBS mesh_control_manager)
mesh_add_test(manager_scheduler_test SOURCES unit/manager_scheduler_test.cpp LIBS mesh_control_manager)
mesh_add_test(manager_simulation_test SOURCES unit/manager_simulation_test.cpp unit/manager_lab.cpp
              LIBS mesh_control_manager TIMEOUT 240)
