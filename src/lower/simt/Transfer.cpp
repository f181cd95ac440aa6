#include "Transfer.h"

#include "support/Error.h"

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Loads that one thread has in flight. */
const int batch = 8;

}  // namespace

Stmt lower_load(const Context &context, const TileOp &op) {
    const Stored &dst = context.at(op.dst);
    int total = 1;
    for (int size : dst.sizes) {
        total *= size;
    }
    const int threads = context.threads();
    const int turns = (total + threads - 1) / threads;
    const int together = std::min(batch, turns);
    const auto point_of = [&](const Expr &number, Expr &inside) {
        Point point;
        Expr rest = number;
        for (size_t d = dst.dims.size(); d-- > 0;) {
            const Expr at = d == 0 ? rest : rest % dst.sizes[d];
            rest = rest / dst.sizes[d];
            point[dst.dims[d].axis] = {at, -1};
            inside = inside && at < context.valid(dst.dims[d].axis);
        }
        return point;
    };
    return each_thread(threads, serial_loop("batch", (turns + together - 1) / together, [&](const Expr &n) {
        // All loads of a batch come before its stores, so that they wait for memory together.
        std::vector<std::pair<std::string, Expr>> lets;
        std::vector<Stmt> stores;
        for (int k = 0; k < together; k++) {
            const Expr number = (n * together + k) * threads + thread();
            const Expr exists = number < total;
            const bool whole = total % (threads * together) == 0;
            Expr inside = whole ? const_true() : exists;
            const Point point = point_of(number, inside);
            const Expr value = context.evaluate(op.expr, point);
            lets.emplace_back(unique_name("element"), select(inside, value, make_zero(value.type())));
            const Stmt store = store_element(dst, point, Variable::make(value.type(), lets.back().first));
            stores.push_back(whole ? store : IfThenElse::make(exists, store));
        }
        Stmt s = Block::make(stores);
        for (auto it = lets.rbegin(); it != lets.rend(); ++it) {
            s = LetStmt::make(it->first, it->second, s);
        }
        return s;
    }));
}

}  // namespace strobe::simt
