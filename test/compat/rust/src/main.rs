//! The common table (../table.json) through Qdrant's own Rust client: a line `name TAB answer` for each row.
//!
//!     cargo run -- http://127.0.0.1:6334
use qdrant_client::qdrant::{
    point_id::PointIdOptions, r#match::MatchValue, Condition, CountPointsBuilder, CreateCollectionBuilder,
    CreateFieldIndexCollectionBuilder, DeletePointsBuilder, Direction, Distance, FacetCountsBuilder, FieldType, Filter, Fusion,
    GetPointsBuilder, OrderByBuilder, PointId, PointStruct, PrefetchQueryBuilder, Query, QueryPointGroupsBuilder, QueryPointsBuilder,
    RecommendInputBuilder, ScoredPoint, ScrollPointsBuilder, SearchPointsBuilder, SetPayloadPointsBuilder, UpdateStatus,
    UpsertPointsBuilder, VectorInput, VectorParamsBuilder,
};
use qdrant_client::{Payload, Qdrant, QdrantError};

const NAME: &str = "table-rust";

type Answer = Result<String, QdrantError>;

fn id_of(id: &Option<PointId>) -> String {
    match id.as_ref().and_then(|id| id.point_id_options.as_ref()) {
        Some(PointIdOptions::Num(number)) => number.to_string(),
        Some(PointIdOptions::Uuid(uuid)) => uuid.clone(),
        None => "none".into(),
    }
}

fn ids(points: &[ScoredPoint]) -> String {
    points.iter().map(|point| id_of(&point.id)).collect::<Vec<_>>().join(",")
}

fn order(value: &Option<qdrant_client::qdrant::OrderValue>) -> String {
    use qdrant_client::qdrant::order_value::Variant;
    match value.as_ref().and_then(|value| value.variant.as_ref()) {
        Some(Variant::Int(number)) => number.to_string(),
        Some(Variant::Float(number)) => number.to_string(),
        None => "none".into(),
    }
}

fn status(result: Option<qdrant_client::qdrant::UpdateResult>) -> String {
    match result.map(|result| result.status()) {
        Some(UpdateStatus::Completed) => "completed".into(),
        other => format!("{other:?}"),
    }
}

fn odd() -> Filter {
    Filter::must([Condition::matches("tag", MatchValue::Keyword("odd".into()))])
}

fn by_n() -> OrderByBuilder {
    OrderByBuilder::new("n").direction(Direction::Desc as i32)
}

async fn answer(client: &Qdrant, row: &str) -> Answer {
    let nearest = || Query::new_nearest(vec![1.0f32, 0.0]);
    Ok(match row {
        "version" => client.health_check().await?.title,
        "create a collection" => {
            let vectors = VectorParamsBuilder::new(2, Distance::Dot);
            client.create_collection(CreateCollectionBuilder::new(NAME).vectors_config(vectors)).await?.result.to_string()
        }
        "collection exists" => client.collection_exists(NAME).await?.to_string(),
        "upsert" => {
            let points: Vec<PointStruct> = (1..=6u64)
                .map(|n| {
                    let payload = serde_json::json!({ "n": n, "tag": if n % 2 == 0 { "even" } else { "odd" } });
                    PointStruct::new(n, vec![n as f32, 1.0], Payload::try_from(payload).expect("an object"))
                })
                .collect();
            status(client.upsert_points(UpsertPointsBuilder::new(NAME, points).wait(true)).await?.result)
        }
        "payload indexes" => {
            client.create_field_index(CreateFieldIndexCollectionBuilder::new(NAME, "n", FieldType::Integer).wait(true)).await?;
            let made = client.create_field_index(CreateFieldIndexCollectionBuilder::new(NAME, "tag", FieldType::Keyword).wait(true)).await?;
            status(made.result)
        }
        "count" => client.count(CountPointsBuilder::new(NAME).exact(true)).await?.result.map_or(0, |result| result.count).to_string(),
        "query: nearest" => ids(&client.query(QueryPointsBuilder::new(NAME).query(nearest()).limit(3)).await?.result),
        "query: filter" => ids(&client.query(QueryPointsBuilder::new(NAME).query(nearest()).filter(odd())).await?.result),
        "query: prefetch and fusion" => {
            let request = QueryPointsBuilder::new(NAME)
                .add_prefetch(PrefetchQueryBuilder::default().query(nearest()).limit(3u64))
                .add_prefetch(PrefetchQueryBuilder::default().query(nearest()).filter(odd()).limit(3u64))
                .query(Query::new_fusion(Fusion::Rrf))
                .limit(3);
            ids(&client.query(request).await?.result)
        }
        "query: recommend" => {
            let input = RecommendInputBuilder::default().add_positive(VectorInput::new_id(6));
            ids(&client.query(QueryPointsBuilder::new(NAME).query(Query::new_recommend(input)).limit(3)).await?.result)
        }
        "query: order_by" => {
            let found = client.query(QueryPointsBuilder::new(NAME).query(Query::new_order_by(by_n())).limit(2)).await?.result;
            found.iter().map(|point| format!("{}:{}", id_of(&point.id), order(&point.order_value))).collect::<Vec<_>>().join(",")
        }
        "query: groups" => {
            use qdrant_client::qdrant::group_id::Kind;
            let request = QueryPointGroupsBuilder::new(NAME, "tag").query(nearest()).limit(2u64).group_size(1u64);
            let groups = client.query_groups(request).await?.result.map_or(Vec::new(), |result| result.groups);
            let text = |group: &qdrant_client::qdrant::PointGroup| match group.id.as_ref().and_then(|id| id.kind.as_ref()) {
                Some(Kind::StringValue(key)) => format!("{key}:{}", ids(&group.hits)),
                other => format!("{other:?}"),
            };
            groups.iter().map(text).collect::<Vec<_>>().join(",")
        }
        "search" => ids(&client.search_points(SearchPointsBuilder::new(NAME, vec![1.0, 0.0], 2)).await?.result),
        "scroll" => {
            let page = client.scroll(ScrollPointsBuilder::new(NAME).limit(3)).await?;
            let found = page.result.iter().map(|point| id_of(&point.id)).collect::<Vec<_>>().join(",");
            format!("{found} then {}", id_of(&page.next_page_offset))
        }
        "scroll: order_by" => {
            let page = client.scroll(ScrollPointsBuilder::new(NAME).order_by(by_n()).limit(3)).await?;
            let text = |point: &qdrant_client::qdrant::RetrievedPoint| format!("{}:{}", id_of(&point.id), order(&point.order_value));
            page.result.iter().map(text).collect::<Vec<_>>().join(",")
        }
        "scroll: slice" => {
            use qdrant_client::qdrant::{condition::ConditionOneOf, SliceCondition};
            let part = Condition { condition_one_of: Some(ConditionOneOf::Slice(SliceCondition { total: 2, index: 0 })) };
            let page = client.scroll(ScrollPointsBuilder::new(NAME).filter(Filter::must([part]))).await?;
            page.result.iter().map(|point| id_of(&point.id)).collect::<Vec<_>>().join(",")
        }
        "facet" => {
            use qdrant_client::qdrant::facet_value::Variant;
            let hits = client.facet(FacetCountsBuilder::new(NAME, "tag")).await?.hits;
            let text = |hit: &qdrant_client::qdrant::FacetHit| match hit.value.as_ref().and_then(|value| value.variant.as_ref()) {
                Some(Variant::StringValue(value)) => format!("{value}={}", hit.count),
                other => format!("{other:?}"),
            };
            hits.iter().map(text).collect::<Vec<_>>().join(",")
        }
        "set payload and get" => {
            let payload = Payload::try_from(serde_json::json!({ "more": "x" })).expect("an object");
            let selected = vec![PointId::from(1)];
            client.set_payload(SetPayloadPointsBuilder::new(NAME, payload).points_selector(selected.clone()).wait(true)).await?;
            let found = client.get_points(GetPointsBuilder::new(NAME, selected).with_payload(true)).await?.result;
            let mut keys: Vec<String> = found[0].payload.keys().cloned().collect();
            keys.sort();
            keys.join(",")
        }
        "delete by filter" => {
            client.delete_points(DeletePointsBuilder::new(NAME).points(odd()).wait(true)).await?;
            let page = client.scroll(ScrollPointsBuilder::new(NAME)).await?;
            page.result.iter().map(|point| id_of(&point.id)).collect::<Vec<_>>().join(",")
        }
        "an error's text" => match client.count(CountPointsBuilder::new("nowhere")).await {
            Err(QdrantError::ResponseError { status }) => status.message().to_string(),
            other => format!("{other:?}"),
        },
        "delete a collection" => client.delete_collection(NAME).await?.result.to_string(),
        other => format!("no such row: {other}"),
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).expect("the server's URL");
    let table: serde_json::Value = serde_json::from_str(include_str!("../../table.json"))?;
    let client = Qdrant::from_url(&url).skip_compatibility_check().build()?;
    for row in table.as_array().expect("a list") {
        let name = row["name"].as_str().expect("a name");
        println!("{name}\t{}", answer(&client, name).await?);
    }
    Ok(())
}
