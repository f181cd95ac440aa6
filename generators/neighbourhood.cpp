#include "strobe/generator.h"

/** Positions are pixels: keys at most reach pixels away in both directions (arXiv:2204.07143). */
class Neighbourhood : public strobe::Attention<Neighbourhood> {
public:
    Input<int32_t> width{"width", 32, 1, 1 << 20}, reach{"reach", 6, 0, 1 << 20};

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(strobe::where(strobe::neighbourhood(i, j, width, reach), s));
    }
};

HALIDE_REGISTER_GENERATOR(Neighbourhood, neighbourhood)
