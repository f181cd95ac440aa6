#include "strobe/generator.h"

/** Every query sees every key. */
class Full : public strobe::Attention<Full> {
public:
    void define() {
        attend(strobe::scores(q, k)(j, i, h, b) * scale);
    }
};

HALIDE_REGISTER_GENERATOR(Full, full)
