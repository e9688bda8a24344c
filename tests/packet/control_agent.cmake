mesh_add_test(agent_runtime_test SOURCES packet/agent_runtime_test.cpp LIBS mesh_control_agent LABEL packet TIMEOUT 120)
mesh_add_test(agent_host_test SOURCES packet/agent_host_test.cpp packet/agent_host_kernel_test.cpp
              LIBS mesh_control_agent mesh_asio LABEL packet TIMEOUT 180)
mesh_add_test(agent_pull_test SOURCES packet/agent_pull_test.cpp LIBS mesh_control_agent LABEL packet TIMEOUT 120)
