// GET /mesh/direct-answers: whether the underlay carries direct answers from each host in the name of each other one.
#pragma once

#include "control/api/context.h"

namespace mesh::api {

// Hosts: how many took part; Pairs: how many were judged; Dropped: From, As, To of each that was not carried, though
// the sender's own packets to the same host were; Silent: From, To where not even those came; Errors.
void direct_answers(Context& context, const Request& request, const ResponderPtr& responder);

}  // namespace mesh::api
