#include "strobe/generator.h"

/** Sequences of different lengths, padded to one: rows and keys behind the end are not there. */
class Varlen : public strobe::Attention<Varlen> {
public:
    Input<Buffer<int32_t, 1>> query_length{"query_length"}, key_length{"key_length"};  // (batch)

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(strobe::where(i < query_length(b) && j < key_length(b), s));
    }
};

HALIDE_REGISTER_GENERATOR(Varlen, varlen)
