mesh_add_test(agent_test
  SOURCES
    unit/agent_container_test.cpp
    unit/agent_host_check_test.cpp
    unit/agent_held_tables_test.cpp
    unit/agent_image_test.cpp
    unit/agent_records_test.cpp
    unit/agent_task_test.cpp
    unit/agent_trace_text_test.cpp
    unit/agent_view_test.cpp
  LIBS mesh_control_agent)
