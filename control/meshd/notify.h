// sd_notify(3) by hand: a datagram to the socket that NOTIFY_SOCKET names.
#pragma once

#include <string_view>

#include "base/result.h"

namespace mesh::meshd {

// "READY=1", "STOPPING=1", "STATUS=…". Nothing happens, without error, if no service manager asks for it.
Status notify_service_manager(std::string_view state);

}  // namespace mesh::meshd
