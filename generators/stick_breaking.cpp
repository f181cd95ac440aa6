#include "strobe/generator.h"

/** Stick-breaking attention (arXiv:2410.17980): each key takes a share of what the keys
 * behind it, up to the query, have left. The order of the keys matters. The running sum of
 * logarithms is a double: differences of long sums lose a float's last digits. */
class StickBreaking : public strobe::KeyValue<StickBreaking> {
public:
    void define() {
        Func s("s"), rest("rest");
        s(j, i, h, b) = strobe::scores(q, k)(j, i, h, b) * scale;
        Halide::RDom later(0, v.dim(1).extent(), "later");
        Expr left = -log(1.0f + exp(s(later, i, h, b)));  // log(1 - sigmoid)
        rest(j, i, h, b) += select(later > j && later < i, Halide::cast<double>(left), Expr(0.0));
        sum_up(select(j < i, strobe::sigmoid(s(j, i, h, b)) * Halide::cast<float>(exp(rest(j, i, h, b))), 0.0f));
    }
};

HALIDE_REGISTER_GENERATOR(StickBreaking, stick_breaking)
