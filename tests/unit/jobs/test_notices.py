"""Topics: who is told of a job's end, and how."""

import json
from pathlib import Path

from springboard.jobs.asking import Answer
from tests.stands.cloud import Cloud, environment
from tests.unit.jobs.shop import Said, Shop, scored


def test_both_topics_are_told_as_sagemaker_tells_them(shop: Shop, aws: Cloud) -> None:
    sns, sqs = aws.client("sns"), aws.client("sqs")
    topics, heard = [], []
    for name in ("success", "error"):
        url, _ = aws.queue()
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        topic = sns.create_topic(Name=f"{name}-{shop.folder.name}")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
        topics.append(topic)
        heard.append(url)
    shop.more = {"success_topic": topics[0], "error_topic": topics[1]}
    good = shop.put(
        id="good", accept="application/json", content_type="video/mp4", received=1_643_150_760.455
    )
    shop.put(id="bad")
    answers = {"good": Answer(b"{}"), "bad": Answer.failure("not_a_dive", "This is no dive.")}
    with environment(**aws.environment), shop.working(lambda _: Said(lambda one: answers[one.id])):
        shop.wait_empty()
    told = [json.loads(sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"]) for url in heard]
    assert told[0].pop("eventTime").endswith("Z")
    assert told[0] == {
        "awsRegion": "us-east-1",
        "receivedTime": "2022-01-25T22:46:00.455Z",
        "invocationStatus": "Completed",
        "requestParameters": {
            "accept": "application/json",
            "contentType": "video/mp4",
            "endpointName": "dive-scoring",
            "inputLocation": "",
        },
        "responseParameters": {"contentType": "application/json", "outputLocation": f"file://{good.output}"},
        "inferenceId": "good",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    assert told[1]["invocationStatus"] == "Failed"
    assert told[1]["failureReason"] == "not_a_dive: This is no dive."
    assert "responseParameters" not in told[1]


def test_a_topic_that_is_away_keeps_no_result_back(shop: Shop) -> None:
    shop.more = {"success_topic": "arn:aws:sns:us-east-1:123456789012:away"}
    one = shop.put()
    away = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    with environment(**away), shop.working(lambda _: Said(scored)):
        shop.wait_empty()
    assert Path(one.output).exists()
