#include "strobe/generator.h"

/** A window, and global positions that see all and are seen by all (arXiv:2004.05150). */
class Longformer : public strobe::Attention<Longformer> {
public:
    Input<int32_t> reach{"reach", 256, 0, 1 << 30}, global{"global", 16, 0, 1 << 30};

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(strobe::where(strobe::global_window(i, j, reach, global), s));
    }
};

HALIDE_REGISTER_GENERATOR(Longformer, longformer)
