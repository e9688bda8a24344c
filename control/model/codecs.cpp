// The codecs of the model, compiled once (base/json.h).
#include "base/json.h"
#include "control/model/cluster.h"
#include "control/model/container_spec.h"
#include "control/model/endpoint_table.h"
#include "control/model/network.h"
#include "control/model/node.h"
#include "control/model/port.h"
#include "control/model/service.h"
#include "control/model/task.h"
#include "control/model/task_spec.h"

MESH_JSON_COMPILE(mesh::model::ClusterSpec);
MESH_JSON_COMPILE(mesh::model::Cluster);
MESH_JSON_COMPILE(mesh::model::ContainerSpec);
MESH_JSON_COMPILE(mesh::model::EndpointTables);
MESH_JSON_COMPILE(mesh::model::TableChange);
MESH_JSON_COMPILE(mesh::model::Network);
MESH_JSON_COMPILE(mesh::model::NodeSpec);
MESH_JSON_COMPILE(mesh::model::NodeDescription);
MESH_JSON_COMPILE(mesh::model::Node);
MESH_JSON_COMPILE(mesh::model::EndpointSpec);
MESH_JSON_COMPILE(mesh::model::Endpoint);
MESH_JSON_COMPILE(mesh::model::ServiceSpec);
MESH_JSON_COMPILE(mesh::model::Service);
MESH_JSON_COMPILE(mesh::model::TaskStatus);
MESH_JSON_COMPILE(mesh::model::TaskMesh);
MESH_JSON_COMPILE(mesh::model::Task);
MESH_JSON_COMPILE(mesh::model::TaskSpec);
