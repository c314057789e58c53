# The queue that `objseek watch --queue` takes events from, and where those go that it cannot read.
data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  source_arn = "arn:${data.aws_partition.current.partition}:s3:::${var.source_bucket}"
}

resource "aws_sqs_queue" "unread" {
  name                      = "${var.name}-unread-events"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "events" {
  name                       = "${var.name}-events"
  message_retention_seconds  = 345600
  visibility_timeout_seconds = 60
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.unread.arn
    maxReceiveCount     = 20
  })
}

data "aws_iam_policy_document" "bucket_sends" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.events.arn]
    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.source_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_sqs_queue_policy" "events" {
  queue_url = aws_sqs_queue.events.url
  policy    = data.aws_iam_policy_document.bucket_sends.json
}

resource "aws_s3_bucket_notification" "source" {
  count  = var.send_events ? 1 : 0
  bucket = var.source_bucket
  queue {
    queue_arn = aws_sqs_queue.events.arn
    events    = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
  }
  depends_on = [aws_sqs_queue_policy.events]
}
