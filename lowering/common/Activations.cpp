#include "lowering/common/Activations.h"
