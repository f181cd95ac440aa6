#include "Log.h"

#include <cstdlib>

namespace strobe {

int debug_level() {
    static const int level = [] {
        const char *text = std::getenv("STROBE_DEBUG");
        return text ? std::atoi(text) : 0;
    }();
    return level;
}

}  // namespace strobe
