#include "AddChunks.h"

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

int pieces_of(const SumsAhead &ahead, const Output &array) {
    return (ahead.elements(array) + sum_threads - 1) / sum_threads;
}

Stmt chunk_block(const SumsAhead &ahead, const Output &array, const std::string &unit) {
    const int elements = ahead.elements(array), pieces = pieces_of(ahead, array);
    const Expr number = Variable::make(Int(32), unit);
    const Expr element = number % pieces * sum_threads + thread(), run = cast<int64_t>(number / pieces);
    const std::string sum = unique_name("sum");
    const Stmt walk = serial_loop("chunk", ahead.chunk.extent, [&](const Expr &chunk) {
        const Expr at = (run * cast<int64_t>(ahead.chunk.extent) + cast<int64_t>(chunk)) * make_const(Int(64), elements) +
                        cast<int64_t>(element);
        const Expr next = load_at(sum, array.type, 0) + load_at(array.name, array.type, at);
        return Block::make(store_at(sum, next, 0), store_at(array.name, load_at(sum, array.type, 0), at));
    });
    const Stmt body = Block::make(store_at(sum, make_zero(array.type), 0), walk);
    return Allocate::make(sum, array.type, MemoryType::Register, {1}, const_true(),
                          each_thread(sum_threads, IfThenElse::make(element < elements, body)));
}

}  // namespace strobe::simt
