#include "control/cluster/messages.h"

MESH_JSON_COMPILE(mesh::cluster::AgentMessage);
MESH_JSON_COMPILE(mesh::cluster::ManagerMessage);
