mesh_add_test(manager_test
  SOURCES unit/manager_allocator_test.cpp unit/manager_lab.cpp unit/manager_options_test.cpp
          unit/manager_ports_test.cpp
          unit/manager_scheduler_test.cpp unit/manager_simulation_test.cpp unit/manager_test.cpp
          unit/manager_update_test.cpp
  LIBS mesh_control_manager
  TIMEOUT 240)
