// The same on plans that are read and derived from Halide Funcs.

#include "algorithm/ReadAlgorithm.h"
#include "autoscheduler/Search.h"
#include "derivation/DeriveOnline.h"
#include "schedule/CheckSchedule.h"
#include "schedule/ParseSchedule.h"
#include "schedule/PrintSchedule.h"
#include "strobe/attention.h"
#include "support/Error.h"

#include <gtest/gtest.h>

#include <filesystem>

using namespace strobe;
using namespace Halide;

namespace {

struct Derived {
    ReductionGraph graph;
    Plan plan;
};

enum class Variant { Full, Causal, Window, Softcap, Alibi, Document };

Derived derive(Variant variant, int head = 64, Type type = BFloat(16)) {
    ImageParam q(type, 4, "q"), k(type, 4, "k"), v(type, 4, "v"), document(Int(32), 2, "document");
    ImageParam slope(Float(32), 1, "slope");
    Param<float> scale("scale", 0.125f, 1e-6f, 1e6f), cap("cap", 30.0f, 1e-3f, 40.0f);
    Param<int> window("window", 256, 0, 1 << 30);
    for (ImageParam *p : {&q, &k, &v}) {
        p->dim(0).set_bounds(0, head);
        for (int n = 1; n < 4; n++) {
            p->dim(n).set_min(0);
        }
    }
    Var d("d"), i("i"), j("j"), h("h"), b("b");
    Expr s = scores(q, k)(j, i, h, b) * scale;
    if (variant == Variant::Softcap) {
        s = softcap(s, cap);
    } else if (variant == Variant::Alibi) {
        s = s + alibi(i, j, slope(h));
    } else if (variant == Variant::Causal) {
        s = where(causal(i, j), s);
    } else if (variant == Variant::Window) {
        s = where(sliding_window(i, j, window), s);
    } else if (variant == Variant::Document) {
        s = where(same_document(document, i, j, b), s);
    }
    Softmax p = softmax(s, k.dim(1).extent());
    Func out("out"), lse("lse");
    out(d, i, h, b) = cast(type, weighted_sum(p.weights, v, q)(d, i, h, b));
    lse(i, h, b) = p.lse(i, h, b);
    Derived x;
    x.graph = read_algorithm({out, lse});
    x.plan = derive_online(x.graph);
    return x;
}

const Variant variants[] = {Variant::Full,    Variant::Causal, Variant::Window,
                            Variant::Softcap, Variant::Alibi,  Variant::Document};

TEST(DerivedPlans, TilesAreTheKnownOnes) {
    for (Variant variant : {Variant::Full, Variant::Causal, Variant::Alibi, Variant::Document}) {
        for (int head : {64, 128}) {
            Derived x = derive(variant, head);
            ScheduleChoice r = autoschedule(x.graph, x.plan, capability_of("sm_90a"),
                                            parse_shape("S=16384 H=16 B=1", x.graph, x.plan.roles));
            EXPECT_EQ(r.choices.query_tile, head == 64 ? 192 : 128) << (int)variant << "\n" << x.plan << r.schedule;
            if (variant == Variant::Document) {
                // What a mask over data reads takes registers from the scores.
                EXPECT_EQ(r.choices.stream_tile, head == 64 ? 96 : 128) << r.schedule;
            } else {
                EXPECT_GE(r.choices.stream_tile, 128) << (int)variant << "\n" << r.schedule;
            }
            EXPECT_EQ(r.choices.mma.size(), 2u) << r.schedule;
            EXPECT_EQ(r.choices.query_descending, variant == Variant::Causal) << r.schedule;
        }
    }
}

/** tanh and exp share a unit, which several warpgroups keep busy. Bounded scores need no maximum, but weights
 * that are rounded to bf16 do. */
TEST(DerivedPlans, Softcap) {
    for (int head : {64, 128}) {
        Derived x = derive(Variant::Softcap, head);
        ScheduleChoice r = autoschedule(x.graph, x.plan, capability_of("sm_90a"),
                                        parse_shape("S=16384 H=16 B=1", x.graph, x.plan.roles));
        EXPECT_GE(r.choices.consumers, 2) << r.schedule;
        EXPECT_EQ(r.estimate.bound, head == 64 ? "special functions" : "tensor") << r.schedule;
        EXPECT_NE(r.schedule.find("rescale_when"), nullptr) << r.schedule;
        Derived exact = derive(Variant::Softcap, head, Float(32));
        EXPECT_EQ(autoschedule(exact.graph, exact.plan, capability_of("sm_90a")).schedule.find("rescale_when"),
                  nullptr);
    }
}

TEST(DerivedPlans, WindowsVisitFewTiles) {
    Derived x = derive(Variant::Window);
    ScheduleChoice r = autoschedule(x.graph, x.plan, capability_of("sm_90a"),
                                    parse_shape("S=16384 H=16 B=1 window=256", x.graph, x.plan.roles));
    EXPECT_LE(r.estimate.visits[0].mean * r.choices.stream_tile, 192 + 256 + 2 * 128) << r.schedule << x.plan;
}

TEST(DerivedPlans, SchedulesReadBack) {
    for (const char *machine : {"sm_90a", "x86-avx2"}) {
        for (Variant variant : variants) {
            for (Type type : {BFloat(16), Float(16), Float(32)}) {
                Derived x = derive(variant, 64, type);
                ScheduleChoice r = autoschedule(x.graph, x.plan, capability_of(machine));
                EXPECT_EQ(
                    check_schedule(parse_schedule(to_string(r.schedule)), x.graph, x.plan, capability_of(machine)),
                    r.choices)
                    << r.schedule;
            }
        }
    }
}

TEST(DerivedPlans, Golden) {
    Derived x = derive(Variant::Causal);
    EXPECT_EQ(to_string(autoschedule(x.graph, x.plan, capability_of("sm_90a")).schedule), R"(tile(i, 192)
stream(j, 128)
online(row_sum, weighted_sum)
k, v: stage(3, tma)
scores: mma(wgmma, bf16)
weighted_sum: mma(wgmma, bf16)
warps(consumers=3, producer=1, registers=160:32)
pingpong
persistent
skip(mask)
specialize(full, partial)
rescale_when(8)
blocks(i descending, h, b)
)");
}

/** Every schedule in schedules/ is legal for the variants and head sizes it is written for. */
TEST(DerivedPlans, ShippedSchedulesAreLegal) {
    int files = 0;
    for (const auto &entry : std::filesystem::recursive_directory_iterator(STROBE_SOURCE_DIR "/schedules")) {
        if (entry.path().extension() != ".strobe") {
            continue;
        }
        files++;
        const bool gpu = entry.path().parent_path().filename() == "sm_90";
        const std::string name = entry.path().stem().string();
        const int head = name.find("d128") != std::string::npos ? 128 : 64;
        for (Variant variant : variants) {
            Derived x = derive(variant, head, gpu ? BFloat(16) : Float(32));
            Schedule s = load_schedule(entry.path().string());
            EXPECT_EQ(parse_schedule(to_string(s)), s);
            std::string refusal;
            try {
                check_schedule(s, x.graph, x.plan, capability_of(gpu ? "sm_90a" : "x86-avx2"));
            } catch (const UserError &e) {
                refusal = e.what();
            }
            // Three warpgroups' registers do not hold wide scores and what a mask over data reads.
            const bool wide = std::stoi(s.find("stream")->arguments.at(1).value) > 96;
            if (gpu && head == 64 && wide && variant == Variant::Document) {
                EXPECT_NE(refusal.find("registers"), std::string::npos) << entry.path() << "\n" << refusal;
            } else {
                EXPECT_EQ(refusal, "") << entry.path();
            }
        }
    }
    EXPECT_GE(files, 6);
}

}  // namespace
