#include "base/address.h"
