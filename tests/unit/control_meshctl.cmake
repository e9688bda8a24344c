mesh_add_test(meshctl_text_test
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/meshctl_template_test.cpp
          ${CMAKE_CURRENT_SOURCE_DIR}/unit/meshctl_rows_test.cpp
          ${CMAKE_CURRENT_SOURCE_DIR}/unit/meshctl_parse_test.cpp
          ${CMAKE_CURRENT_SOURCE_DIR}/unit/meshctl_service_flags_test.cpp
          ${CMAKE_CURRENT_SOURCE_DIR}/unit/meshctl_progress_test.cpp
          ${CMAKE_CURRENT_SOURCE_DIR}/unit/meshctl_report_test.cpp
          ${CMAKE_CURRENT_SOURCE_DIR}/unit/meshctl_trace_test.cpp
          ${CMAKE_CURRENT_SOURCE_DIR}/unit/meshctl_doctor_test.cpp
  LIBS mesh_control_meshctl)
# The program itself against a daemon that answers from a script.
mesh_add_command_test(meshctl_program_test TIMEOUT 60
  COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/unit/meshctl_program_test.py $<TARGET_FILE:meshctl>)
add_dependencies(mesh_unit_tests meshctl)
