mesh_add_test(manager_simulation_test SOURCES unit/manager_simulation_test.cpp unit/manager_lab.cpp
              LIBS mesh_control_manager)
