# -DMESH_WITH_DPDK=ON: DPDK for mesh-pktgen (Debian's libdpdk-dev), as the target mesh_dpdk. Installed by the system, or
# unpacked by `scripts/setup --with-dpdk`, which leaves the system alone: the development package would bring udev, systemd
# and drivers of every kind.
option(MESH_WITH_DPDK "mesh-pktgen also sends by DPDK: real network cards, and veth by af_packet and af_xdp" OFF)
if(NOT MESH_WITH_DPDK)
  return()
endif()

set(unpacked /var/cache/meshd-dev/dpdk)
set(libraries lib/${CMAKE_LIBRARY_ARCHITECTURE})
find_path(MESH_DPDK_HEADERS rte_ethdev.h PATHS /usr/include/dpdk ${unpacked}/usr/include/dpdk NO_DEFAULT_PATH)
if(NOT MESH_DPDK_HEADERS)
  message(FATAL_ERROR "MESH_WITH_DPDK=ON, but rte_ethdev.h is neither in /usr/include/dpdk nor in ${unpacked}: run  "
                      "sudo scripts/setup --with-dpdk  (or install libdpdk-dev), or configure without it")
endif()
cmake_path(GET MESH_DPDK_HEADERS PARENT_PATH include)
cmake_path(GET include PARENT_PATH prefix)

add_library(mesh_dpdk INTERFACE)
# rte_config.h depends on the architecture and lies with its headers.
target_include_directories(mesh_dpdk SYSTEM INTERFACE ${MESH_DPDK_HEADERS} ${include}/${CMAKE_LIBRARY_ARCHITECTURE}/dpdk)
target_compile_options(mesh_dpdk INTERFACE "SHELL:-include rte_config.h")
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(mesh_dpdk INTERFACE -march=corei7)  # the least that DPDK's headers ask for
endif()
foreach(name IN ITEMS eal ethdev mbuf mempool ring)
  target_link_libraries(mesh_dpdk INTERFACE ${prefix}/${libraries}/librte_${name}.so)
endforeach()
if(prefix STREQUAL "${unpacked}/usr")
  target_include_directories(mesh_dpdk SYSTEM INTERFACE ${include}) # libbsd-dev's
  # An RPATH is for what the libraries need in turn too, and for the drivers that they load; a RUNPATH is not.
  target_link_options(mesh_dpdk INTERFACE -Wl,--disable-new-dtags -Wl,-rpath,${prefix}/${libraries})
  file(GLOB drivers ${prefix}/${libraries}/dpdk/pmds-*)
  target_compile_definitions(mesh_dpdk INTERFACE MESH_DPDK_DRIVERS="${drivers}"
                                                 MESH_DPDK_BPF="${prefix}/${libraries}/bpf")
endif()
