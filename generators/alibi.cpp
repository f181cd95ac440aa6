#include "strobe/generator.h"

/** A bias that falls linearly with the distance to the key; one slope a head. */
class Alibi : public strobe::Attention<Alibi> {
public:
    Input<Buffer<float, 1>> slopes{"slopes"};

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(s + strobe::alibi(i, j, slopes(h)));
    }
};

HALIDE_REGISTER_GENERATOR(Alibi, alibi)
