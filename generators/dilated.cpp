#include "strobe/generator.h"

/** Every step-th key within reach (arXiv:2004.05150). */
class Dilated : public strobe::Attention<Dilated> {
public:
    Input<int32_t> reach{"reach", 256, 0, 1 << 30}, step{"step", 4, 1, 1 << 20};

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(strobe::where(strobe::dilated_window(i, j, reach, step), s));
    }
};

HALIDE_REGISTER_GENERATOR(Dilated, dilated)
