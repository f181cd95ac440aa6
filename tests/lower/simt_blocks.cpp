// Barriers between loops over threads: as many as the data needs, where it needs them.

#include "lower/simt/Block.h"

#include <gtest/gtest.h>

using namespace Halide;
using namespace Halide::Internal;
using namespace strobe::simt;

namespace {

Expr at(const std::string &array, const Expr &index) {
    return Load::make(Float(32), array, index, Buffer<>(), Parameter(), const_true(), ModulusRemainder());
}

/** to[thread] = value */
Stmt set(const std::string &to, const Expr &value) {
    return each_thread(4, Store::make(to, value, thread(), Parameter(), const_true(), ModulusRemainder()));
}

/** to[thread] = from[3 - thread] */
Stmt move(const std::string &from, const std::string &to) {
    return set(to, at(from, 3 - thread()));
}

class CountBarriers : public IRVisitor {
    using IRVisitor::visit;
    void visit(const Call *op) override {
        count += op->is_intrinsic(Call::gpu_thread_barrier);
        IRVisitor::visit(op);
    }

public:
    int count = 0;
};

int barriers(const Stmt &s) {
    CountBarriers counter;
    place_barriers(s, {{"a", "b", "c"}, {"a", "b"}}).accept(&counter);
    return counter.count;
}

Stmt loop(const Stmt &body) {
    return For::make("turn", 0, 3, ForType::Serial, Partition::Never, DeviceAPI::None, body);
}

TEST(SimtBlocks, NeedNoBarrierForWhatIsNotShared) {
    EXPECT_EQ(barriers(Block::make(set("own", 1.0f), move("own", "other"))), 0);
    EXPECT_EQ(barriers(Block::make(set("a", 1.0f), set("b", 2.0f))), 0);
    EXPECT_EQ(barriers(Block::make(move("a", "own"), move("a", "other"))), 0);
}

TEST(SimtBlocks, HaveABarrierBetweenWriterAndReader) {
    EXPECT_EQ(barriers(Block::make(set("a", 1.0f), move("a", "own"))), 1);
    EXPECT_EQ(barriers(Block::make(move("a", "own"), set("a", 1.0f))), 1);
    EXPECT_EQ(barriers(Block::make(set("a", 1.0f), set("a", 2.0f))), 1);
    EXPECT_EQ(barriers(Block::make({set("a", 1.0f), set("b", 2.0f), move("a", "own"), move("b", "own")})), 1);
}

TEST(SimtBlocks, HaveABarrierBetweenTurnsOfALoop) {
    EXPECT_EQ(barriers(loop(Block::make(set("a", 1.0f), move("a", "own")))), 2);
    // What is read in one turn and written in the next is parted by the barrier in between.
    EXPECT_EQ(barriers(loop(Block::make({set("a", 1.0f), move("a", "b"), move("b", "own")}))), 2);
    EXPECT_EQ(barriers(loop(move("a", "own"))), 0);
}

TEST(SimtBlocks, TakeTheWorseOfTwoBranches) {
    const Stmt branch = IfThenElse::make(Variable::make(Bool(), "full"), set("a", 1.0f), set("b", 1.0f));
    EXPECT_EQ(barriers(Block::make(branch, move("a", "own"))), 1);
    EXPECT_EQ(barriers(Block::make(branch, move("b", "own"))), 1);
    EXPECT_EQ(barriers(Block::make(branch, move("c", "own"))), 0);
}

TEST(SimtBlocks, CountAsynchronousWritesFromTheirCompletion) {
    const Stmt begin = each_thread(4, begin_writes("a")), complete = each_thread(4, complete_writes("a"));
    // A barrier in between does not order them.
    const Stmt between = Block::make(set("b", 1.0f), move("b", "own"));
    EXPECT_EQ(barriers(Block::make({begin, between, complete, move("a", "own")})), 2);
    EXPECT_EQ(barriers(Block::make({begin, complete, move("a", "own")})), 1);
    EXPECT_EQ(barriers(Block::make({move("a", "own"), begin, complete})), 1);
}

/** The same loop over threads, in which each warp uses its own part of the divided arrays a and b. */
Stmt own(const Stmt &s) {
    const For *threads = s.as<For>();
    return each_thread(4, Block::make(use_within_warp(), threads->body));
}

TEST(SimtBlocks, HaveABarrierOfAWarpWhereEachUsesItsOwnPart) {
    const auto of_block = [](const Stmt &s) {
        class Count : public IRVisitor {
            using IRVisitor::visit;
            void visit(const Call *op) override {
                count += op->is_intrinsic(Call::gpu_thread_barrier) && is_const(op->args[0], 2);
            }

        public:
            int count = 0;
        } counter;
        place_barriers(s, {{"a", "b", "c"}, {"a", "b"}}).accept(&counter);
        return counter.count;
    };
    const Stmt within = Block::make(own(set("a", 1.0f)), own(move("a", "own")));
    EXPECT_EQ(barriers(within), 1);
    EXPECT_EQ(of_block(within), 0);
    const Stmt written_by_all = Block::make(set("a", 1.0f), own(move("a", "own")));
    EXPECT_EQ(of_block(written_by_all), 1);
    const Stmt read_by_all = Block::make({own(set("a", 1.0f)), own(move("a", "own")), move("a", "own")});
    EXPECT_EQ(barriers(read_by_all), 2);
    EXPECT_EQ(of_block(read_by_all), 1) << "a warp's barrier does not count for the block";
    const Stmt undivided = Block::make(own(set("c", 1.0f)), own(move("c", "own")));
    EXPECT_EQ(of_block(undivided), 1);
    const Stmt turns = loop(Block::make({own(set("a", 1.0f)), own(move("a", "own")), move("a", "own")}));
    EXPECT_EQ(of_block(turns), 2) << "the next turn writes what all have read";
}

TEST(SimtBlocks, RunSeriallyBetweenBarriers) {
    // Without a barrier the last two threads read what the first two have not written.
    const auto loops = [](const Stmt &s) {
        class CountLoops : public IRVisitor {
            using IRVisitor::visit;
            void visit(const For *op) override {
                count++;
                IRVisitor::visit(op);
            }

        public:
            int count = 0;
        } counter;
        serial_block(s, 4, false).accept(&counter);
        return counter.count;
    };
    const Stmt write = set("a", 1.0f), read = move("a", "own");
    EXPECT_EQ(loops(Block::make(write, read)), 1);
    EXPECT_EQ(loops(Block::make({write, barrier(), read})), 2);
}

}  // namespace
