#include "lowering/common/ApproximateMath.h"
